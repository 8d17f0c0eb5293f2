"""Lists of documents: filters, fields, order, pages."""
