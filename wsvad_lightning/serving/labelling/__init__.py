"""``wsvad label``: a local page on which a person says what happens in videos."""
