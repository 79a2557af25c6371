use super::*;
use crate::component::error::ComponentError;

/// *Scenario*: an error wraps another error, whose message quotes its own cause.
/// *Guarantees*: each message occurs once, the outermost first; the innermost message is that of the cause.
#[test]
fn causes_are_reported_once() {
    let missing = std::io::Error::other("No such file");
    let quoting = ComponentError::with_source("receivers::replay: x.lwr: No such file", missing);
    let error = ComponentError::with_source("failed to start receivers::replay", quoting);
    let expected = "failed to start receivers::replay: x.lwr: No such file";
    assert_eq!((with_causes(&error).as_str(), innermost(&error).as_str()), (expected, "No such file"));
}

/// *Scenario*: an error names a component, and its cause begins with the path of this component, or with that of another one.
/// *Guarantees*: the path of the same component is not repeated. That of the other one is there.
#[test]
fn components_are_named_once() {
    let failed = |cause: &str| {
        with_causes(&ComponentError::with_source("exporters::file/2 failed", ComponentError::new(cause)))
    };
    assert_eq!(failed("exporters::file/2: disk full"), "exporters::file/2 failed: disk full");
    assert_eq!(failed("exporters::file: disk full"), "exporters::file/2 failed: exporters::file: disk full");
}
