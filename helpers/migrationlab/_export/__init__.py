"""What an export is made of: tables that anybody can read, and words for their columns."""
