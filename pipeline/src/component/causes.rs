//! Messages of an error's causes.

use std::error::Error;

/// Returns the messages of the error and its causes, the outermost first. A cause that a message quotes already is not repeated.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Returns the message of the innermost cause, which is the most specific if a library wraps it.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::error::ComponentError;

    /// *Scenario*: an error whose message quotes its cause, under one that does not.
    /// *Guarantees*: each message occurs once, the outermost first; the innermost is the cause.
    #[test]
    fn causes_are_reported_once() {
        let missing = std::io::Error::other("No such file");
        let quoting = ComponentError::with_source("receivers::replay: x.lwr: No such file", missing);
        let error = ComponentError::with_source("failed to start \"replay\" receiver", quoting);
        let expected = "failed to start \"replay\" receiver: receivers::replay: x.lwr: No such file";
        assert_eq!((with_causes(&error).as_str(), innermost(&error).as_str()), (expected, "No such file"));
    }
}
