"""Model families and their stages of training: one module each, found by their ids."""
