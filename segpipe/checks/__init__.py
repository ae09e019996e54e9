"""What stands out in a set of images, from the rows that preprocess left: flags, exact and near duplicates."""
