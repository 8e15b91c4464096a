"""The explorer: one HTML page that shows the latent space of a run in a browser, offline. Reading order:

    evidence     the results that the page needs for each data point
    build        collect the model, the data and these results, and write them into the page
    page         the parts of the page: page.html (structure), page.css (style), page.js (decoder, densities, drawing)
    command      the command `minivae explore`
"""
