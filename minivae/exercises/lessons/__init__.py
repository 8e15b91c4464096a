"""Eighteen lessons: frequent questions of learners of VAEs, each answered by one number and one figure. Reading order:

    frame        a lesson, its result, and the small models that lessons train
    losses       lessons about the loss: reductions, the 1/2, BCE, negative losses, sigma, beta
    latent       lessons about z: collapse, sampling, holes, blur, grids, unused dimensions
    gradients    lessons about training: NaN, reparameterisation, gradient checks
    bounds       lessons about p and q: log p(x), notation, the direction of the KL

    figures      figures that several lessons share
    command      the command `minivae exercises lesson`
"""
