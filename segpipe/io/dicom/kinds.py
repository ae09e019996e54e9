"""Which DICOM objects are projection radiographs, by Modality (PS3.3 C.7.3.1.1.1) and SOP class (PS3.4 B.5)."""

from pydicom import uid

from segpipe.errors import ImageError
from segpipe.io.dicom.header import Header, name_of

RADIOGRAPHY = ("CR", "DX", "MG", "RG", "PX", "IO", "XA", "RF")
OTHER_MODALITIES = {
    "AS": "angioscopy",
    "AU": "audio",
    "BDUS": "ultrasound bone densitometry",
    "BI": "biomagnetic imaging",
    "BMD": "bone densitometry",
    "CF": "cinefluorography",
    "CT": "computed tomography",
    "DF": "digital fluoroscopy in the term of before 1998, now RF",
    "DG": "diaphanography",
    "DMS": "dermoscopy",
    "DOC": "a document",
    "DS": "digital subtraction angiography in the term of before 1998, now XA",
    "EC": "echocardiography",
    "ECG": "an electrocardiogram",
    "EPS": "cardiac electrophysiology",
    "ES": "endoscopy",
    "FID": "fiducials",
    "GM": "microscopy",
    "HC": "a hard copy",
    "HD": "a haemodynamic waveform",
    "IVOCT": "intravascular tomography",
    "IVUS": "intravascular ultrasound",
    "KO": "a key object selection",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OCT": "optical coherence tomography",
    "OP": "ophthalmic photography",
    "OPT": "ophthalmic tomography",
    "OT": "another kind of picture",
    "PLAN": "a plan",
    "PR": "a presentation state",
    "PT": "positron emission tomography",
    "REG": "a registration",
    "RESP": "a respiratory waveform",
    "RTDOSE": "a radiotherapy dose",
    "RTIMAGE": "a radiotherapy image",
    "RTPLAN": "a radiotherapy plan",
    "RTRECORD": "a radiotherapy treatment record",
    "RTSTRUCT": "a radiotherapy structure set",
    "SC": "a secondary capture",
    "SEG": "a segmentation",
    "SM": "slide microscopy",
    "SMR": "a stereometric relationship",
    "SR": "a structured report",
    "TG": "thermography",
    "US": "ultrasound",
    "XC": "a photograph",
}
MODALITY_OF_CLASS = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.DigitalXRayImageStorageForProcessing: "DX",
    uid.DigitalMammographyXRayImageStorageForPresentation: "MG",
    uid.DigitalMammographyXRayImageStorageForProcessing: "MG",
    uid.DigitalIntraOralXRayImageStorageForPresentation: "IO",
    uid.DigitalIntraOralXRayImageStorageForProcessing: "IO",
    uid.XRayAngiographicImageStorage: "XA",
    uid.XRayRadiofluoroscopicImageStorage: "RF",
}
OF_ANY_MODALITY = (
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,  # refused for its colour
)
# their greys, window and spacing are those of functional groups, for each frame (C.7.6.16), or they are no projections
BY_FRAME = (
    uid.EnhancedXAImageStorage,
    uid.EnhancedXRFImageStorage,
    uid.XRay3DAngiographicImageStorage,
    uid.XRay3DCraniofacialImageStorage,
    uid.BreastTomosynthesisImageStorage,
    uid.BreastProjectionXRayImageStorageForPresentation,
    uid.BreastProjectionXRayImageStorageForProcessing,
)
FOR_PROCESSING = (
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalIntraOralXRayImageStorageForProcessing,
)


def radiographic_modality(header: Header) -> str:
    """The Modality, else what the SOP class implies; empty where neither is known.

    Raises ImageError saying what the object is where either says that it is no projection radiograph.
    """
    sop_class = header.sop_class
    if sop_class == uid.MediaStorageDirectoryStorage:
        raise ImageError("is a DICOMDIR, a list of files and no picture; name the files themselves")
    if sop_class in BY_FRAME:
        raise ImageError(
            f"is a {name_of(sop_class)} object, which states grey values and spacing for each frame apart; "
            "export the frame that is meant as a single picture"
        )
    modality = header.term("Modality")
    if not _may_be_radiograph(modality, sop_class):
        raise ImageError(_what_it_is(modality, sop_class))
    if sop_class in FOR_PROCESSING or header.term("PresentationIntentType") == "FOR PROCESSING":
        header.note("for_processing")
    if modality:
        return modality
    header.note("modality_from_sop_class" if sop_class in MODALITY_OF_CLASS else "modality_unknown")
    return MODALITY_OF_CLASS.get(sop_class, "")


def _may_be_radiograph(modality: str, sop_class: uid.UID) -> bool:
    if modality and modality not in RADIOGRAPHY:
        return False
    if sop_class in MODALITY_OF_CLASS or sop_class in ("", *OF_ANY_MODALITY):
        return True
    return bool(modality) and name_of(sop_class) == "unregistered"  # some makers have classes of their own


def _what_it_is(modality: str, sop_class: uid.UID) -> str:
    if modality in RADIOGRAPHY:
        what = modality
    elif modality in OTHER_MODALITIES:
        what = f"{modality}, {OTHER_MODALITIES[modality]}"
    else:
        what = "none that segpipe knows" if modality else "missing"
    return (
        f"is no projection radiograph: its modality is {what}, "
        f"its SOP class {name_of(sop_class) if sop_class else 'missing'}; "
        f"segpipe reads {', '.join(RADIOGRAPHY)}"
    )
