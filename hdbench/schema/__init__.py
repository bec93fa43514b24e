"""What the files of the library may say: one model per kind of file, no hidden defaults."""
