"""Data sets of people: folders, lists, RecordIO; conversion, reports and alignment of whole folders."""
