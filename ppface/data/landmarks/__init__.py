"""Files and data sets of facial landmarks."""
