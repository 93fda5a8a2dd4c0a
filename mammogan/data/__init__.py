"""From an archive of DICOM files or pictures to a store of mammograms ready for training."""
