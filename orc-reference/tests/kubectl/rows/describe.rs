//! `describe`, of each common kind.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [workloads(), network(), rules(), cluster(), bad()].concat()
}

/// A claim of the default class, and a pod that uses it.
const CLAIMED: &str = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: own}, \
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}, {apiVersion: v1, kind: Pod, metadata: {name: user}, \
    spec: {terminationGracePeriodSeconds: 1, volumes: [{name: v, persistentVolumeClaim: {claimName: own}}], containers: [{name: c, \
    image: host, command: [sleep, '86400'], volumeMounts: [{name: v, mountPath: /v}]}]}}]}";

fn workloads() -> Vec<Row> {
    vec![
        row("describe", "kubectl describe deployment web")
            .seen()
            .says("2 desired | 2 updated | 2 total | 2 available | 0 unavailable")
            .says("NewReplicaSet:")
            .says("Scaled up replica set"),
        row("describe", "kubectl describe pod talker")
            .seen()
            .says("Init Containers:\n  before:")
            .says("Node:")
            .says("Successfully assigned seen/talker to node-")
            .says("Started"),
        row("describe", "kubectl describe pod -l app=web")
            .seen()
            .says("Controlled By:")
            .says("COLOUR:  blue")
            .says("tcp-socket"),
        row("describe", "kubectl describe rs -l app=web").seen().says("2 current / 2 desired").says("SuccessfulCreate"),
        row("describe", "kubectl describe sts db")
            .seen()
            .says("1 desired | 1 total")
            .says("create Pod db-0 in StatefulSet db successful"),
        row("describe", "kubectl describe ds agent").seen().says("Number of Nodes Scheduled with Up-to-date Pods: 2"),
        row("describe", "kubectl describe job once")
            .seen()
            .given("kubectl wait --for=condition=Complete job/once --timeout=60s")
            .says("1 Succeeded")
            .says("Job completed"),
        row("describe", "kubectl describe cronjob nightly")
            .seen()
            .says("0 3 * * *")
            .says("Concurrency Policy")
            .since(21),
        row("describe", "kubectl describe hpa web").seen().says("Min replicas:").says("resource cpu on pods").since(23),
    ]
}

fn network() -> Vec<Row> {
    vec![
        row("describe", "kubectl describe service web").seen().says("TargetPort:").says("Endpoints:").says(":8080"),
        row("describe", "kubectl describe endpointslice -l kubernetes.io/service-name=web")
            .seen()
            .says("AddressType:")
            .says("Ready:")
            .since(21),
        row("describe", "kubectl describe ingress door").seen().says("example.com").says("web:80"),
        row("describe", "kubectl describe networkpolicy front").seen().says("app=web").says("8080/TCP"),
    ]
}

fn rules() -> Vec<Row> {
    vec![
        row("describe", "kubectl describe configmap settings").seen().says("colour:\n----\nblue\n"),
        row("describe", "kubectl describe secret word").seen().says("password:  4 bytes").lacks("hush"),
        row("describe", "kubectl describe pdb web").seen().says("Min available:").since(21),
        row("describe", "kubectl describe quota bound").seen().says("services    1     10").says("50"),
        row("describe", "kubectl describe limits sizes").seen().says("PersistentVolumeClaim"),
        row("describe", "kubectl describe sa robot").seen().says("Name:                robot"),
        row("describe", "kubectl describe role,rolebinding").seen().says("[get list]").says("ServiceAccount  robot"),
        row("describe", "kubectl describe pvc disk")
            .seen()
            .given("try sh -c 'kubectl describe pvc disk | grep ProvisioningFailed'")
            .says("Pending")
            .says("persistent-volume-binder  storageclass.storage.k8s.io \"none-such\" not found"),
        row("describe", "kubectl describe pvc own")
            .file("p.yaml", CLAIMED)
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/user --timeout=60s")
            .says("Used By:       user")
            .says("waiting for first consumer to be created before binding")
            .says("External provisioner is provisioning volume for claim \"$NS/own\"")
            .says("Successfully provisioned volume pvc-"),
        row("describe", "kubectl describe pv $(kubectl get pvc own -o jsonpath='{.spec.volumeName}')")
            .file("p.yaml", CLAIMED)
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/user --timeout=60s")
            .says("Claim:             $NS/own")
            .says("kubernetes.io/hostname in [node-"),
    ]
}

fn cluster() -> Vec<Row> {
    vec![
        row("describe", "kubectl describe node node-1")
            .seen()
            .says("KubeletReady")
            .says("Allocated resources:")
            .says("Non-terminated Pods:")
            .says("Lease:"),
        row("describe", "kubectl describe ns seen")
            .seen()
            .says("Status:       Active")
            .says("Resource Quotas")
            .says("Resource Limits"),
        row("describe", "kubectl describe clusterrole view").seen().says("PolicyRule:"),
        row("describe", "kubectl describe priorityclass system-node-critical").seen().says("2000001000"),
        row("describe", "kubectl describe storageclass local-path")
            .seen()
            .says("IsDefaultClass:        Yes")
            .says("VolumeBindingMode:     WaitForFirstConsumer"),
        row("describe", "kubectl describe lease node-1 -n kube-node-lease")
            .seen()
            .says("Holder Identity:")
            .says("node-1"),
        row("describe", "kubectl describe all -l app=web").seen().says("Selector:"),
    ]
}

fn bad() -> Vec<Row> {
    vec![
        row("describe", "kubectl describe pod none-such").seen().fails(1, "pods \"none-such\" not found"),
        row("describe", "kubectl describe nonsense")
            .seen()
            .fails(1, "the server doesn't have a resource type \"nonsense\""),
    ]
}
