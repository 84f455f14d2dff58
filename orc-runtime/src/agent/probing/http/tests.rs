use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::service::service_fn;
use orc_core::env::System;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// What the server of these tests answers.
fn respond(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let header = |name: &str| request.headers().get(name).map_or("none", |value| value.to_str().unwrap());
    let (code, to, body) = match path {
        "/ok" => (200, None, String::new()),
        "/there" => (302, Some("/ok".to_owned()), String::new()),
        "/away" => (301, Some("http://elsewhere.example/".to_owned()), "gone away".to_owned()),
        "/round" => (302, Some("/round".to_owned()), String::new()),
        "/bad" => (503, None, String::new()),
        // A status that tells whether the headers are the expected ones.
        "/headers" => {
            let said = format!("{}|{}|{}|{}", header("user-agent"), header("accept"), header("host"), header("x-own"));
            (if said == "kube-probe/1.36|none|own.example|1" { 200 } else { 418 }, None, said)
        }
        _ => (404, None, String::new()),
    };
    let mut response = Response::builder().status(code);
    if let Some(to) = to {
        response = response.header("location", to);
    }
    response.body(Full::new(body.into())).unwrap()
}

async fn serve(tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| async move { Ok::<_, Infallible>(respond(&request)) });
                let http = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            });
        }
    });
    port
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn ask(tls: bool, port: u16, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    probe(&System::real().clock, &Place::new(tls, "127.0.0.1", port, path), &headers, LIMIT).await
}

#[tokio::test]
async fn answers_are_judged_as_the_kubelet_does() {
    let port = serve(None).await;
    let fails = |text: &str| Err(text.replace("PORT", &port.to_string()));
    for (path, headers, want) in [
        ("ok", &[][..], Ok(None)),
        ("/there", &[], Ok(None)),
        ("/away", &[], Ok(Some("Probe terminated redirects, Response body: gone away".to_owned()))),
        ("/round", &[], fails("Get \"http://127.0.0.1:PORT/round\": stopped after 10 redirects")),
        ("/bad", &[], fails("HTTP probe failed with statuscode: 503")),
        ("/headers", &[("host", "own.example"), ("accept", ""), ("X-Own", "1")], Ok(None)),
        ("/headers", &[], fails("HTTP probe failed with statuscode: 418")),
        ("/ok", &[("x y", "1")], fails("invalid header field name \"x y\"")),
    ] {
        assert_eq!(ask(false, port, path, headers).await, want, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn https_asks_for_no_particular_certificate() {
    let port = serve(Some(acceptor())).await;
    assert_eq!(ask(true, port, "/ok", &[]).await, Ok(None));
    assert_eq!(ask(true, port, "/bad", &[]).await, Err("HTTP probe failed with statuscode: 503".to_owned()));
    let plain = serve(None).await;
    let error = ask(true, plain, "/ok", &[]).await.unwrap_err();
    assert!(error.starts_with(&format!("Get \"https://127.0.0.1:{plain}/ok\": tls: ")), "{error}");
}

#[tokio::test]
async fn a_closed_port_and_a_silent_server_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let place = Place::new(false, "127.0.0.1", port, "/");
    let error = probe(&System::real().clock, &place, &[], Duration::from_millis(100)).await.unwrap_err();
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(error, format!("Get \"http://127.0.0.1:{port}/\": {late}"));
    drop(silent);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(ask(false, port, "/", &[]).await, Err(format!("Get \"http://127.0.0.1:{port}/\": {refused}")));
}
