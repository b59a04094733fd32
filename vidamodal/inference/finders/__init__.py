"""Finders: one file each. A finder is a class with an ``ID`` that implements `vidamodal.inference.finders.base.Finder`.

Dropping a file into this package registers its class: `vidamodal.predict(video, detect=ID)` then uses it.
"""
