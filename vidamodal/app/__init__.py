"""`vidamodal app`: a page in the browser to open a video, complete its objects, correct them and export the result."""
