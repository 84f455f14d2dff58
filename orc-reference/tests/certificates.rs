//! Certificate signing requests end to end, with the real kubectl: asked for, approved, signed, and used.

mod support;

use base64::Engine as _;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use support::{As, Cluster};

fn request(name: &str, signer: &str, group: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "carol");
    params.distinguished_name.push(DnType::OrganizationName, group);
    let pem = params.serialize_request(key).unwrap().pem().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(pem);
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  \
         request: {text}\n  signerName: {signer}\n  expirationSeconds: 3600\n  usages: [client auth, digital signature]\n"
    )
}

#[test]
fn a_certificate_is_approved_signed_and_used() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0"]);
    let key = KeyPair::generate().unwrap();
    let client = "kubernetes.io/kube-apiserver-client";
    let refused = cluster.refused(&["apply", "-f", "-"], &request("root", client, "system:masters", &key));
    assert!(
        refused.contains("use of kubernetes.io/kube-apiserver-client signer with system:masters group"),
        "{refused}"
    );
    cluster.ok_with(&["apply", "-f", "-"], &request("carol", client, "devs", &key));
    cluster.ok_with(&["apply", "-f", "-"], &request("denied", client, "devs", &key));
    cluster.ok(&["certificate", "deny", "denied"]);
    cluster.ok(&["certificate", "approve", "carol"]);
    let certificate = cluster.until(
        &["get", "csr", "carol", "-o", "jsonpath={.status.certificate}"],
        "the certificate is signed",
        |text| !text.is_empty(),
    );
    let listed = cluster.ok(&["get", "csr"]);
    assert!(listed.contains("Approved,Issued") && listed.contains("Denied"), "{listed}");

    cluster.ok(&["create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=devs"]);
    let files = cluster.folder.path();
    let pem = base64::engine::general_purpose::STANDARD.decode(certificate.trim()).unwrap();
    std::fs::write(files.join("carol.crt"), pem).unwrap();
    std::fs::write(files.join("carol.key"), key.serialize_pem()).unwrap();
    let path = |name: &str| files.join(name).to_string_lossy().into_owned();
    cluster.ok(&[
        "config",
        "set-credentials",
        "carol",
        "--client-certificate",
        &path("carol.crt"),
        "--client-key",
        &path("carol.key"),
    ]);
    let who =
        cluster.until(&["--user", "carol", "auth", "whoami", "-o", "json"], "carol is known", |t| t.contains("carol"));
    assert!(who.contains("\"devs\""), "{who}");
    cluster.until(&["--user", "carol", "get", "pods"], "carol may look", |text| text.contains("No resources found"));
    assert!(cluster.refused(&["--user", "carol", "get", "secrets"], "").contains("Forbidden"));
}
