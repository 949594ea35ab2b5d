"""What a study leaves on disk: files, their layout and schema, part files, tables, and who uses a folder."""
