"""Cluster the students' neurons: distances, tree, cut, selection; plain arrays in and out."""
