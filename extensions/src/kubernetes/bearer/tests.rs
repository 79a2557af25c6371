use serde_json::{Value, json};

use super::*;

fn auth(user: Value) -> AuthInfo {
    serde_json::from_value(user).unwrap()
}

/// Returns what is sent, `none`, or the error.
fn sent(user: Value) -> String {
    match BearerToken::take(&mut auth(user)) {
        Ok(Some(token)) => token.header(Instant::now()).to_str().unwrap().to_owned(),
        Ok(None) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// *Scenario*: tokens with white space around them, in a file and in the kubeconfig; both together; an empty and a missing file.
/// *Guarantees*: the token is sent without the white space. The file takes precedence, unless it has no token. Errors name the place.
#[test]
fn white_space_is_not_part_of_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, empty) = (file("good", " abc\r\n\n"), file("empty", "\n"));
    assert_eq!(sent(json!({"tokenFile": good})), "Bearer abc");
    assert_eq!(sent(json!({"token": "xyz\n"})), "Bearer xyz");
    assert_eq!(sent(json!({"token": "xyz", "tokenFile": good})), "Bearer abc");
    assert_eq!(sent(json!({"token": "xyz", "tokenFile": empty})), "Bearer xyz");
    assert_eq!(sent(json!({"token": "\n"})), "none");
    assert_eq!(sent(json!({"username": "u", "password": "p", "tokenFile": good})), "none");
    assert_eq!(sent(json!({"tokenFile": empty})), format!("tokenFile: {empty}: the file is empty"));
    let two = file("two", "abc\ndef\n");
    assert!(sent(json!({"tokenFile": two})).starts_with(&format!("tokenFile: {two}: not a token")));
    assert!(sent(json!({"token": "a\nb"})).starts_with("token: not a token"));
    let missing = folder.path().join("missing");
    assert_eq!(
        sent(json!({"tokenFile": missing})),
        format!("tokenFile: {}: No such file or directory (os error 2)", missing.display())
    );
}

/// *Scenario*: the token in a file is replaced, and later the file is removed.
/// *Guarantees*: the new token is sent after a minute. The last token is kept.
#[test]
fn a_file_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "one\n").unwrap();
    let token = BearerToken::take(&mut auth(json!({"tokenFile": file.path()}))).unwrap().unwrap();
    std::fs::write(file.path(), "two\n").unwrap();
    let now = Instant::now();
    let at = |seconds| token.header(now + Duration::from_secs(seconds)).to_str().unwrap().to_owned();
    assert_eq!([at(30), at(61), at(62)], ["Bearer one", "Bearer two", "Bearer two"]);
    drop(file);
    assert_eq!(at(130), "Bearer two");
}
