"""The explorer: one page that shows the latent space of a run in a browser, without a network. Reading order:

    evidence     the results that the page needs for each data point
    build        collect model, data and exact results of a run, and write them into the page
    page         the parts of the page: page.html (structure), page.css (looks), page.js (the decoder, densities, drawing)
    command      the command `minivae explore`
"""
