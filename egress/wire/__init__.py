"""HTTP/1 and what lies around it, without input or output: bytes in, values out."""
