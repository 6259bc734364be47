"""``wsvad serve``: videos and features of others, scored over HTTP."""
