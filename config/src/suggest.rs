//! Suggestions for misspelt names.

/// Returns the name in `known` that is most similar to `written`, if `written` is probably a misspelling of it. Case and
/// separators are ignored.
pub fn near_miss<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(written);
    known
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
            // Allows one edit per three letters: `intervall` is near `interval`, `foo` is not near `tls`.
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
