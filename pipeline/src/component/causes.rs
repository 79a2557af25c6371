//! What lies beneath an error, in words.

use std::error::Error;

/// The error and its causes, the outer first, each told once: a message may quote its cause already.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in beneath(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The words of the innermost cause, which say most where a library wraps its own around it.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    beneath(error).last().unwrap_or(error).to_string()
}

fn beneath<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::error::ComponentError;

    /// *Scenario*: an error whose message quotes its cause, under one that does not.
    /// *Guarantees*: each is told once, the outer first; the innermost is the cause.
    #[test]
    fn causes_are_told_once() {
        let missing = std::io::Error::other("No such file");
        let quoting = ComponentError::with_source("receivers::replay: x.lwr: No such file", missing);
        let error = ComponentError::with_source("failed to start \"replay\" receiver", quoting);
        let told = "failed to start \"replay\" receiver: receivers::replay: x.lwr: No such file";
        assert_eq!((with_causes(&error).as_str(), innermost(&error).as_str()), (told, "No such file"));
    }
}
