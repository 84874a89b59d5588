"""Songs and stems in object stores, and songs on the web. The only room that imports obstore."""
