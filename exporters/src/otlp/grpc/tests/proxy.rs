use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::otlp::grpc::proxy::ConnectProxy;

/// A proxy that replies `response` to one connection, and then closes it. Returns what was opened, and the request.
async fn connected(user: &str, response: &str) -> (Result<Vec<u8>, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = ConnectProxy::new(&Url::parse(&format!("http://{user}{address}")).unwrap()).unwrap();
    let client = async {
        match proxy.open("collector.test:4317").await {
            Ok(mut stream) => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                Ok(rest)
            }
            Err(error) => Err(error.to_string().replace(&address.to_string(), "PROXY")),
        }
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    tokio::join!(client, server)
}

/// *Scenario*: a proxy that connects and in the same packet sends the server's first bytes; the URL has a user and a password with an escape.
/// *Guarantees*: the request names the server and has the credentials. The server's bytes are not lost.
#[tokio::test]
async fn a_proxy_connects() {
    let (stream, request) = connected("user:p%40ss@", "HTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst bytes").await;
    assert_eq!(stream, Ok(b"first bytes".to_vec()));
    assert!(
        request.starts_with("CONNECT collector.test:4317 HTTP/1.1\r\nHost: collector.test:4317\r\n"),
        "{request}"
    );
    // Base64 of `user:p@ss`.
    assert!(request.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{request}");
}

/// *Scenario*: proxies that require a password, forbid the port, close the connection, or send something else.
/// *Guarantees*: the error names the proxy, its reason and the remedy, in one line.
#[tokio::test]
async fn a_proxy_refuses() {
    let mut errors = Vec::new();
    for response in [
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.0 403 Forbidden\r\n\r\n",
        "",
        "SSH-2.0-x\r\n\r\n",
    ] {
        errors.push(connected("", response).await.0.unwrap_err());
    }
    insta::assert_snapshot!(errors.join("\n"));
}
