"""What datasets are prepared from: folders, archives, exports and downloads."""
