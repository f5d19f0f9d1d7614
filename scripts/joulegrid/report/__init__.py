"""What people read: the columns of the tables, the figures, the page."""
