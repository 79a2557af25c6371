use super::*;
use crate::component::error::ComponentError;

/// *Scenario*: an error wraps another error, whose message quotes its own cause.
/// *Guarantees*: each message occurs once, the outermost first; the innermost message is that of the cause.
#[test]
fn causes_are_reported_once() {
    let missing = std::io::Error::other("No such file");
    let quoting = ComponentError::with_source("receivers::replay: x.lwr: No such file", missing);
    let error = ComponentError::with_source("failed to start \"replay\" receiver", quoting);
    let expected = "failed to start \"replay\" receiver: receivers::replay: x.lwr: No such file";
    assert_eq!((with_causes(&error).as_str(), innermost(&error).as_str()), (expected, "No such file"));
}
