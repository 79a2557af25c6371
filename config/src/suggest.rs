//! What somebody probably meant.

/// The one of `known` that `written` is probably a slip of: a letter or two off, or other separators or case.
pub fn near_miss<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(written);
    known
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
            // One slip in three letters: `foo` is not a slip of `tls`, `intervall` is one of `interval`.
            let allowed = candidate.chars().count().min(folded.chars().count()).div_ceil(3).min(3);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
