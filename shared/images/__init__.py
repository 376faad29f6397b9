"""Reading uploaded images: check the file's structure first, then decode its pixels."""
