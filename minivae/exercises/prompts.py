"""The texts of the exercises: a title, the prompt at the head of the learner's file, and three hints.

B is the number of data points, D of features, J of latent dimensions, L of draws of z for each data point.
"""

RULE = """The first argument of a backward function is the gradient of the loss with respect to the output of the forward
function. The other arguments are the inputs of the forward function. The backward function returns the gradient of the
loss with respect to each input. For x, this gradient is `d_x`, the "gradient in x". It has the shape of x. Exercises with
another rule say so."""

TEXTS: dict[str, tuple[str, str, str, str, str]] = {
    "affine_backward": (
        "the gradients of y = x W + b",
        f"""
{RULE}

Forward: y = x W + b, with x (B, I), W = weight (I, O), b = bias (O,), y (B, O): B data points, I inputs, O outputs.
Given d_y (B, O), derive the gradients in x, W and b.
Start with one entry: y[n, o] = sum_i x[n, i] W[i, o] + b[o]. Which entries of y depend on W[i, o]? Sum over them.
Replace every `...`. You may also write the function in another way: only the returned arrays count.
Letters for shapes in the other exercises: L draws of z for each data point, D features, J latent dimensions.
""",
        "The shapes nearly tell the answer: build (B, I) from (B, O) and (I, O), and (I, O) from (B, I) and (B, O).",
        "The same b is added to all B rows, so its gradient is a sum over all B rows.",
        "dL/dW[i, o] = sum over n of x[n, i] d_y[n, o]. Write this sum as a product of two matrices: one is transposed.",
    ),
    "tanh_backward": (
        "the gradient of h = tanh(a), from the output",
        """
Forward: h = tanh(a), for arrays of any shape.
The backward gets d_h and the *output* h, not a, because h is stored anyway. Return d_a, of the shape of h.
Derive dh/da, and express it by h alone.
""",
        "tanh(a) = sinh(a) / cosh(a): differentiate the quotient.",
        "Use cosh^2 - sinh^2 = 1 to simplify the derivative, and write it with tanh(a).",
        "The argument h is tanh(a) already: the usual mistake is to take tanh of h again. At h = 0 the slope "
        "is 1, at h = 1 it is 0.",
    ),
    "sigmoid_softplus": (
        "the gradients of sigmoid and softplus",
        """
Two functions of arrays of any shape.

    s = sigmoid(a) = 1 / (1 + e^-a)        sigmoid_backward(d_s, s) gets the output s
    y = softplus(a) = log(1 + e^a)         softplus_backward(d_out, a) gets the input a

Each returns d_a. `softplus_backward` must be right for a = 1000 and a = -1000, too. `sigmoid` is given and does not
overflow.
""",
        "Write the slope of sigmoid with s and without a. Where is it largest? At a = 0, with the value 1/4.",
        "e^-a / (1 + e^-a)^2 is a product of two fractions whose sum is 1. One of them is s.",
        "Differentiate log(1 + e^a) and divide numerator and denominator by e^a: the result is a function that you know.",
    ),
    "log_sum_exp": (
        "log sum exp without overflow",
        """
    log_sum_exp(a) = log( sum_l exp(a_l) ),   the sum along one axis:  a (L, B), axis 0 -> (B,)

exp(1000) is inf, and log(exp(-1000)) is -inf. The result must be right for such numbers.
Some entries may be -inf: exp(-inf) = 0, so such a term adds nothing. Where all entries of the axis are -inf, the
result is -inf, not nan.
Only the summed axis is removed: (L, B) gives (L,) for `axis=1`, and (L, 1) gives (1,) for `axis=0`.
""",
        "log sum exp(a - c) + c is the same number for every c, so choose a convenient c for each sum.",
        "With c = the largest entry, every exponent is at most 0 and one is exactly 0: nothing overflows, and "
        "the sum is at least 1.",
        "-inf - (-inf) is nan: where the largest entry is -inf, subtract 0 instead. `keepdims=True` keeps the "
        "shapes compatible.",
    ),
    "log_sum_exp_backward": (
        "the gradient of log sum exp",
        """
Forward: y = log sum_l exp(a_l) along one axis: a (L, B), axis 0 -> y (B,).
Given d_out, of the shape of y, return d_a, of the shape of a.
Derive dy/da_l. The vector of these derivatives is a well-known function of a. d_a must be right for entries of a such as
1000, too.
""",
        "dy/da_l = (1 / sum) * d(sum)/da_l. Only one term of the sum contains a_l.",
        "The slopes are positive and sum to 1 along the axis. Subtract the largest entry before exp: the "
        "ratio does not change.",
        "d_out has no axis for l, because the sum removed it. `np.expand_dims` puts it back.",
    ),
    "reparameterize": (
        "the draw z = mu + sigma eps, and its gradient",
        """
q(z|x) is a Gaussian with mean mu and *log-variance* log_var = log sigma^2, both (B, J).
eps is standard normal noise, (L, B, J): L draws for each data point.

    z = mu + sigma eps        (L, B, J)

Write sigma in terms of log_var, then the draw. Then derive the gradients of the loss in mu and log_var, given d_z (L, B, J).
The L draws share one mu and one log_var. eps is noise: no gradient is returned for it.
""",
        "log_var = log sigma^2 = 2 log sigma. Solve for sigma.",
        "dz/dmu = 1, for each of the L draws: what happens to an input that is used L times?",
        "By the chain rule, dz/dlog_var is eps times dsigma/dlog_var. The slope of sigma = exp(log_var / 2) is sigma / 2.",
    ),
    "kl": (
        "the KL to the standard normal, in closed form",
        """
Derive KL( N(mu, sigma^2) || N(0, 1) ) for one coordinate, in nats, with log_var = log sigma^2:

    KL = E_q[ log q(z) - log p(z) ],    q = N(mu, sigma^2),  p = N(0, 1)

mu and log_var are (B, J). Return the KL of every coordinate, (B, J): no sum, no mean.
It is 0 at mu = 0, log_var = 0, and positive everywhere else.
""",
        "log q(z) - log p(z) = -log sigma - (z - mu)^2 / (2 sigma^2) + z^2 / 2. Take the mean of each term under q.",
        "E_q[(z - mu)^2] = sigma^2 and E_q[z^2] = mu^2 + sigma^2.",
        "The KL is 1/2 times a sum of four terms: the square of the mean, the variance, a 1, the log-variance. "
        "Two of the terms are subtracted.",
    ),
    "kl_backward": (
        "the gradient of the KL",
        """
Differentiate the KL of exercise 7 in mu and in log_var. d_kl is (B, J): one gradient for each coordinate's KL.
Return d_mu and d_log_var, (B, J) each.

Check by hand before you run: both gradients are 0 at mu = 0, log_var = 0.
""",
        "Each coordinate's KL depends on its own mu and log_var only, so there are no sums.",
        "sigma^2 = exp(log_var). What is its derivative in log_var?",
        "The KL is 1/2 times a bracket. In d_mu, the 1/2 cancels the 2 of a square; in d_log_var, it stays.",
    ),
    "bernoulli": (
        "log p(x|z) for black and white pixels, from logits",
        """
Each of the D pixels x_d is 0 or 1. It is 1 with probability p_d = sigmoid(l_d); the logits l are the decoder's output.

    log p(x|z) = sum_d ( x_d log p_d + (1 - x_d) log(1 - p_d) )

x is (B, D) and logits (L, B, D); return (L, B), in nats. Simplify until no log(p) is left: at a logit of 1000,
1 - p is rounded to 0, and its log is -inf. The result must be right for such logits, too.
The backward gets d_out (L, B) and returns d_logits (L, B, D). It returns no gradient in x, which is data. `sigmoid` is
given and does not overflow.
""",
        "log p = l - log(1 + e^l) and log(1 - p) = -log(1 + e^l). Collect the terms with x.",
        "log(1 + e^l) = max(l, 0) + log(1 + e^-|l|) does not overflow.",
        "The slope of log(1 + e^l) is sigmoid(l): the gradient is a difference. d_out (L, B) has no axis D: "
        "d_out[..., None] is (L, B, 1).",
    ),
    "gaussian_backward": (
        "the gradients of a Gaussian log-likelihood, in the mean and in log sigma",
        """
    log p(x|z) = - sum_d ( (x_d - m_d)^2 / (2 sigma^2) + log sigma + 1/2 log 2 pi )

x is (B, D), the mean m is (L, B, D), and all entries share one number log_sigma (). The forward returns (L, B).
Given d_out (L, B), return d_mean (L, B, D) and d_log_sigma (). It helps to write u = (x - m) / sigma.
Note: log_sigma is log sigma here, not log sigma^2.
""",
        "With u = (x - m) / sigma, each term is u^2 / 2 + log sigma. What are du/dm and du/dlog_sigma?",
        "sigma = exp(log_sigma), so dsigma/dlog_sigma = sigma, and du/dlog_sigma = -u.",
        "Every one of the D features contributes a log sigma. The gradient in the single log_sigma is a sum over L, B, D.",
    ),
    "mlp_backward": (
        "back through a network of layers",
        """
The forward begins with hs[0] = x. Every layer but the last computes hs[i + 1] = act(hs[i] W_i + b_i); the last layer is
linear, without act. hs[i] is the input of layer i, and hs[-1] is the output of the network. `layers` has (W, b) pairs.

    d_out (B, O) is the gradient in the network's output.
    d_layers has a pair of arrays for every layer, in the shapes of W and b: write the gradients into these arrays
             (`d_layers[i][0][...] = ...`). They are not 0 at the start, so do not add with `+=`. Do not put new
             arrays into the list.
    Return the gradient in x, (B, I).

Given: `affine_backward(d_y, x, weight, bias)`, and `act, act_backward = ACTIVATIONS[activation]`, where
`act_backward(d_h, h)` takes the output h. Do not change hs or layers.
""",
        "Go through the layers from the last to the first and carry one array: the gradient in "
        "hs[i] W_i + b_i, which is the input of the activation.",
        "affine_backward returns the gradient in hs[i]. To go back through the activation that computed hs[i], call "
        "act_backward with hs[i].",
        "hs[0] is the data: no activation computed it, so do not call act_backward in the last step of the loop.",
    ),
    "two_paths": (
        "where two gradients meet: in z, and in mu and log_var",
        """
The loss depends on z in two ways. Through log p(x|z), the gradient in z is d_z_px (L * B, J). If the KL is estimated at
the drawn z, the loss also depends on z through the KL, with the gradient d_z_kl (L, B, J).
The loss depends on mu in two ways: through z, and directly through the KL, with the gradient d_mu_kl (B, J). The same
holds for log_var, with d_log_var_kl (B, J).

Return d_z (L, B, J), and the total gradients d_mu and d_log_var (B, J) in the encoder's outputs.
The rows of d_z_px are ordered like z.reshape(L * B, J). Given: `reparameterize_backward(d_z, mu, log_var, eps)`.
The numbers in the comments are steps of the forward pass: step 2 computes mu and log_var, and step 3 draws z.
""",
        "If a variable is used in two places, its gradient is the sum of two gradients.",
        "d_z_px has the shape (L * B, J): bring it into the shape of z first.",
        "Step 3: compute the total d_z, and pass it to reparameterize_backward. Step 2: add the KL's direct gradients.",
    ),
    "whole_backward": (
        "the whole backward pass, and the normalised importance weights",
        """
Write two functions. The loss of the first, `iw_loss_backward`, is minus the mean over the B data points of

    log( 1/L sum_l exp(log_w[l]) ),    where log_w, (L, B), is the difference of log_px_z and kl

Here d_loss is a number, and beta is 1 and not used. Return the gradients in log_px_z and kl.
Given: log_sum_exp_backward(d_out, a), the gradient of exercise 5 along axis 0.

The second, `backward`, is the whole backward pass. This is the model's forward pass in seven steps. The comments in the
blank of `backward` have the same numbers, in reverse order.

{FORWARD}

f has the results of the forward pass: f.encoder_hs, f.mu, f.log_var, f.z, f.decoder_hs, f.out, f.scale, f.log_px_z, f.kl.
f.scale has the likelihood's own parameters: none, or log_sigma. self.likelihood.scale has their names.

    7  objective.loss_backward(d_loss, f.log_px_z, f.kl, self.beta), with d_loss = 1
    6  objective.kl_backward(d_kl, f.z, f.mu, f.log_var) gives three gradients
    5  self.likelihood.log_prob_backward(d_log_px_z, x, f.out, *f.scale) returns d_out, then one gradient for each entry
       of f.scale; `d_out, *d_scale =` makes d_scale the list of these gradients
    4  mlp_backward(d_out, hs, layers, self.activation, d_layers, wrt_x=True) writes into d_layers and returns the
       gradient in hs[0], as in exercise 11. For the decoder, call it with d_rows, f.decoder_hs, decoder and d_decoder
    3, 2  as in exercise 12. The encoder's last layer has both heads: mu in the first J columns, log_var in the others
    1  mlp_backward for the encoder, with wrt_x=False: x is data, so the gradient in x is not needed
    The last blank is a loop over the names in self.likelihood.scale and the gradients d in d_scale:
       `gradient[name][...] = d`
""",
        "In iw_loss_backward every data point gets -d_loss / B. The softmax of log_w distributes this over the L draws.",
        "kl enters log_w with a minus. In `backward`, f.out is (L, B, D), and the decoder worked on L * B rows.",
        "The gradient of the heads is [d_mu, d_log_var] side by side, (B, 2J); it enters the encoder's mlp_backward.",
    ),
    "adam": (
        "one step of Adam, in place",
        """
`self` is an optimiser: self.params.flat (the parameters, one vector), self.m and self.v (two vectors, zero at the start),
self.t (0 at the start, counts steps), self.lr, self.b1, self.b2, self.tiny. gradient.flat is the gradient.

    m <- b1 m + (1 - b1) g           v <- b2 v + (1 - b2) g^2
    theta <- theta - lr m_hat / (sqrt(v_hat) + tiny)

m is a weighted sum of all gradients so far. It starts at 0, so after t steps the weights sum to less than 1. Derive
this sum. m_hat is m divided by this sum, and v_hat is v divided by the sum of the weights in v. Update self.params.flat *in
place*, once for each call; return nothing. Only the parameters are judged, after calls 1, 2 and 3.
""",
        "After one step m = (1 - b1) g, but m_hat must be g. After t steps the weights sum to (1 - b1) (1 + b1 + "
        "... + b1^(t-1)).",
        "By the formula of the geometric sum, this is 1 - b1^t, with t = 1 at the first step: increase self.t first.",
        "`theta = theta - ...` makes a new array and changes nothing: write `self.params.flat[...] = ` or `-=`.",
    ),
    "write_the_check": (
        "bonus: write the check",
        """
Now you judge. `check(gaussian)` gets the module minivae.gaussian, or a copy of it with a real bug of public VAE code.
If the module is wrong, raise an error (with `assert`, for example) or return False. If it is right, return nothing.

You may call, with arrays mu, log_var (B, J) and eps, z (L, B, J):

    gaussian.reparameterize(mu, log_var, eps)                  gaussian.reparameterize_backward(d_z, mu, log_var, eps)
    gaussian.kl_standard_normal(mu, log_var)                   gaussian.kl_standard_normal_backward(d_kl, mu, log_var)
    gaussian.log_normal(z, mu, log_var)  -> (L, B)             gaussian.log_standard_normal(z)  -> (L, B)

log_normal is the log-density of N(mu, sigma^2) at z, summed over J, and log_standard_normal that of N(0, 1).

The check is called with the right module three times, and with six wrong ones. The six bugs are among those that `minivae
museum` lists. One of the six is exp-log-var: it draws z with exp(log_var) as standard deviation, and its backward is the
gradient of this wrong draw. So a gradient check alone does not notice the bug.
""",
        "Compare each backward with finite differences of its forward: this finds some of the six bugs. Which does it miss?",
        "Sampler, density and KL must describe one Gaussian: the mean of log_normal(z) - "
        "log_standard_normal(z) over many drawn z is the KL.",
        "Instead of random eps, use the nodes and weights of np.polynomial.hermite_e.hermegauss(20). Divide the "
        "weights by their sum: then the weighted means are exact.",
    ),
}
