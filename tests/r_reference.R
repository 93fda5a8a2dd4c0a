# Makes tests/r_reference.json with base R alone: Rscript tests/r_reference.R > tests/r_reference.json
successes <- c(58, 68, 63, 73, 63, 66, 67, 69, 63, 62)
n <- 133
x <- unlist(lapply(successes, function(s) c(rep(1, s), rep(0, n - s))))
g <- factor(rep(1:10, each = n))

# Conover-Iman: t tests on ranks with the pooled standard deviation, which is what pairwise.t.test does.
p <- pairwise.t.test(rank(x), g, p.adjust.method = "none")$p.value
pairs <- t(combn(10, 2))
conover <- apply(pairs, 1, function(i) p[i[2] - 1, i[1]])
holm <- p.adjust(conover, "holm")

binomial <- lapply(list(c(652, 1330), c(312, 640), c(340, 690), c(169, 370), c(76, 160), c(9, 10)), function(kn) {
  k <- kn[1]; m <- kn[2]
  b <- binom.test(k, m)
  below <- binom.test(k, m, 0.45, alternative = "greater")$p.value
  above <- binom.test(k, m, 0.55, alternative = "less")$p.value
  sprintf('{"k": %d, "n": %d, "p": %.15g, "low": %.15g, "high": %.15g, "equivalence": %.15g}',
          k, m, b$p.value, b$conf.int[1], b$conf.int[2], max(below, above))
})

# Cochran's Q by its formula.
set.seed(1)
a <- matrix(rbinom(60, 1, rep(c(.3, .5, .6, .8), each = 15)), 15)
k <- ncol(a); cs <- colSums(a); rs <- rowSums(a)
q <- (k - 1) * (k * sum(cs^2) - sum(cs)^2) / (k * sum(rs) - sum(rs^2))
raw <- c(.001, .04, .03, .5)

list_of <- function(v) paste0("[", paste(sprintf("%.15g", v), collapse = ", "), "]")
cat("{\n")
cat(sprintf('"r_version": "%s",\n', paste(R.version$major, R.version$minor, sep = ".")))
cat(sprintf('"successes": %s,\n', list_of(successes)))
cat(sprintf('"conover": %s,\n', list_of(conover)))
cat(sprintf('"conover_holm": %s,\n', list_of(holm)))
cat(sprintf('"kruskal": %.15g,\n', kruskal.test(x, g)$p.value))
cat(sprintf('"trend": %.15g,\n', prop.trend.test(successes, rep(n, 10))$p.value))
cat(sprintf('"binomial": [%s],\n', paste(binomial, collapse = ", ")))
cat(sprintf('"cochran_answers": [%s],\n', paste(apply(a, 1, list_of), collapse = ", ")))
cat(sprintf('"cochran": %.15g,\n', pchisq(q, k - 1, lower.tail = FALSE)))
cat(sprintf('"holm_raw": %s,\n', list_of(raw)))
cat(sprintf('"holm": %s\n}\n', list_of(p.adjust(raw, "holm"))))
