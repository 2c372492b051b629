# Gives the cells of an R reader as texts; a call of calls/r.toml stands before these lines and sets `df`.
cell <- function(value) {
  if (is.list(value)) return(vapply(value, function(v) { t <- as.character(cell(v)); if (length(t) == 0) NA_character_ else t[[1]] }, ""))
  if (inherits(value, "POSIXct")) return(ifelse(is.na(value), NA, format(value, "%Y-%m-%dT%H:%M:%OS6", tz = "UTC")))
  if (is.logical(value)) return(ifelse(is.na(value), NA, ifelse(value, "true", "false")))
  if (inherits(value, "integer64") || inherits(value, "Date") || inherits(value, "IDate")) return(as.character(value))
  if (is.numeric(value)) return(ifelse(is.nan(value), "NaN", ifelse(is.na(value), NA, sprintf("%.17g", value))))
  as.character(value)
}
names <- c("id", "code", "account", "qty", "amount", "ratio", "active", "day", "moment", "wall", "word", "note")
columns <- lapply(names, function(name) cell(df[[name]]))
rows <- do.call(cbind, columns)
writeLines(apply(rows, 1, function(r) as.character(jsonlite::toJSON(unname(r), na = "null"))), Sys.getenv("LOADERS_OUT"), useBytes = TRUE)
