# Makes tests/r_mixed.json with lme4 (Debian: r-cran-lme4): Rscript tests/r_mixed.R > tests/r_mixed.json
suppressMessages(library(lme4))
set.seed(4)
readers <- 24; questions <- 10; images <- 15
d <- data.frame(reader = rep(seq_len(readers), each = questions), question = rep(seq_len(questions), readers))
d$image <- sample(images, nrow(d), replace = TRUE)
odds <- 0.2 + 0.8 * rnorm(readers)[d$reader] + 0.6 * rnorm(images)[d$image]
d$y <- rbinom(nrow(d), 1, plogis(odds))
d$q <- d$question - mean(d$question)
both <- glmer(y ~ q + (1 | reader) + (1 | image), d, binomial, nAGQ = 1)
no_image <- glmer(y ~ q + (1 | reader), d, binomial, nAGQ = 1)
no_reader <- glmer(y ~ q + (1 | image), d, binomial, nAGQ = 1)
sd_of <- function(m) sapply(VarCorr(m), function(v) attr(v, "stddev"))
list_of <- function(v) paste0("[", paste(sprintf("%.10g", v), collapse = ", "), "]")
s <- sd_of(both)
m <- ranef(both, condVar = TRUE)
se_of <- function(r) sqrt(apply(attr(r, "postVar"), 3, c))
cat("{\n")
cat(sprintf('"r_version": "%s", "lme4": "%s",\n', paste(R.version$major, R.version$minor, sep = "."), packageVersion("lme4")))
cat(sprintf('"reader": %s,\n"image": %s,\n"question": %s,\n"y": %s,\n', list_of(d$reader), list_of(d$image), list_of(d$q), list_of(d$y)))
cat(sprintf('"coefficients": %s,\n"errors": %s,\n', list_of(fixef(both)), list_of(sqrt(diag(as.matrix(vcov(both)))))))
cat(sprintf('"sd_reader": %.10g,\n"sd_image": %.10g,\n', s[["reader.(Intercept)"]], s[["image.(Intercept)"]]))
for (name in c("reader", "image")) {
  r <- m[[name]]
  cat(sprintf('"levels_%s": %s,\n"modes_%s": %s,\n"mode_errors_%s": %s,\n', name, list_of(as.integer(rownames(r))),
              name, list_of(r[, 1]), name, list_of(se_of(r))))
}
cat(sprintf('"log_likelihood": %.10g,\n"without_image": %.10g,\n"without_reader": %.10g\n}\n',
            logLik(both), logLik(no_image), logLik(no_reader)))
