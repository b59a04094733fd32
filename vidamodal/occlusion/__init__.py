"""Rules on which object lies in front of which: pairwise order, occlusion layers, evidence, and minimum areas."""
