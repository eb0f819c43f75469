"""Image bytes to RGB pixels and back; knows nothing of samples, shards or torch.

`header.read_header` reads size, format and orientation; `decode.decode_rgb` gives pixels;
`encode.encode_rgb` writes them. The format is told by the first bytes, never by a file name.

The rule, whatever the format. A picture is `(height, width, 3)` RGB uint8, and:

- the EXIF orientation is applied, all eight of them, for JPEG, PNG (`eXIf`), WebP, TIFF and AVIF;
  an unreadable EXIF block, or an orientation outside 1..8, counts as 1; XMP is not read, but for
  TIFF, where Pillow reads it;
- grey is replicated to three channels, one bit becomes 0 and 255, a palette is expanded;
- alpha, however it is stored (a channel, a palette entry, PNG `tRNS`), is composited over black;
- CMYK and YCCK become RGB as Pillow does it, Adobe's inverted ones too; colour profiles and gamma
  are not applied;
- 16-bit PNG, TIFF and PGM are scaled, full range to full range: `round(value / 257)`;
- of several frames or pages (GIF, MPO, APNG, TIFF) the first is taken;
- signed, 32-bit and floating-point pixels have no stated range, and are refused;
- bytes that are cut off, or that a decoder calls corrupt, are refused: there is never a picture
  that is grey where the data were missing.

Each refusal is one `DecodeError`.
"""
