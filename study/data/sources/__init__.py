"""Sources of images: folders, archives, exports and downloads."""
