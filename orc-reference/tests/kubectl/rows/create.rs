//! `create`: workloads, services, configuration; `run`, `expose`.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [files(), workloads(), services(), configuration(), run_and_expose()].concat()
}

fn files() -> Vec<Row> {
    vec![
        row("create", "kubectl create -f m.yaml -f d/")
            .file("m.yaml", super::MAP)
            .file("d/n.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}}"#)
            .is("configmap/m created\nconfigmap/n created")
            .then("kubectl get cm m -o jsonpath='{.data.a}'", "1"),
        row("create", "kubectl create --dry-run=server -o jsonpath='{.metadata.uid}' -f m.yaml")
            .file("m.yaml", super::MAP)
            .fits("a uid that the server made", |said| said.trim().len() == 36)
            .then("kubectl get cm m --ignore-not-found", ""),
        row("create", "kubectl create -f g.yaml")
            .file("g.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: made-}}")
            .fits("a generated name", |said| said.starts_with("configmap/made-") && said.trim().len() == "configmap/made-12345 created".len()),
        row("create", "kubectl create -f m.yaml").file("m.yaml", super::MAP).given("kubectl create -f m.yaml").fails(
            1,
            "Error from server (AlreadyExists): error when creating \"m.yaml\": configmaps \"m\" already exists",
        ),
        row("create", "kubectl create -f p.yaml")
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: P_}, spec: {containers: [{name: c, image: host}]}}")
            .fails(1, "The Pod \"P_\" is invalid: metadata.name: Invalid value: \"P_\": a lowercase RFC 1123 subdomain must consist of"),
        row("create", "kubectl create -f p.yaml")
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: host, commandd: [a]}]}}")
            .since(25)
            .fails(1, "Error from server (BadRequest): error when creating \"p.yaml\": Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].commandd\""),
        row("create", "kubectl create -f p.yaml")
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: host, commandd: [a]}]}}")
            .until(25)
            .fails(1, "unknown field \"commandd\""),
        row("create", "kubectl create -f c.yaml")
            .file("c.yaml", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: foo}, spec: {group: a.b, scope: Cluster, names: {plural: foos, kind: Foo}, versions: [{name: v1, served: true, storage: false, schema: {openAPIV3Schema: {type: object}}}]}}")
            .fails(1, "metadata.name: Invalid value: \"foo\": must be spec.names.plural+\".\"+spec.group")
            .warns("must have exactly one version marked as storage version")
            .warns("status.storedVersions: Invalid value: null: must have at least one stored version"),
        row("create", "kubectl create -f n.yaml").file("n.yaml", "{apiVersion: v1, kind: Nonsense, metadata: {name: nn}}").fails(
            1,
            "no matches for kind \"Nonsense\" in version \"v1\"",
        ),
    ]
}

fn workloads() -> Vec<Row> {
    vec![
        row("create deployment", "kubectl create deployment web --image=host --replicas=2 --port=80 -- sleep 86400")
            .is("deployment.apps/web created")
            .then("kubectl get deployment web -o jsonpath='{.status.readyReplicas} {..ports[0].containerPort} {..command}'", r#"2 80 ["sleep","86400"]"#),
        row("create deployment", "kubectl create deployment Web --image=host")
            .fails(1, "a lowercase RFC 1123 subdomain must consist of"),
        row("create job", "kubectl create job once --image=host -- sh -c 'echo done'")
            .is("job.batch/once created")
            .then("kubectl get job once -o jsonpath='{.status.succeeded}'", "1")
            .then("kubectl logs job/once", "done"),
        row("create job", "kubectl create job by-hand --from=cronjob/nightly")
            .given("kubectl create cronjob nightly --image=host --schedule='0 3 * * *' -- true")
            .since(21)
            .is("job.batch/by-hand created")
            .then("kubectl get job by-hand -o jsonpath='{.status.succeeded} {.metadata.ownerReferences[0].name}'", "1 nightly"),
        row("create job", "kubectl create job by-hand --from=cronjob/none").fails(1, "cronjobs.batch \"none\" not found"),
        row("create cronjob", "kubectl create cronjob c --image=host --schedule='*/5 * * * *' --restart=OnFailure -- true")
            .since(21)
            .is("cronjob.batch/c created")
            .then("kubectl get cronjob c -o jsonpath='{.spec.schedule} {..restartPolicy}'", "*/5 * * * * OnFailure"),
        row("create cronjob", "kubectl create cronjob c --image=host --schedule='never'")
            .since(21)
            .fails(1, "CronJob.batch \"c\" is invalid: spec.schedule: Invalid value: \"never\": expected exactly 5 fields, found 1: [never]"),
        row("create poddisruptionbudget", "kubectl create pdb b --selector=app=d --max-unavailable=50%")
            .since(21)
            .file("d.yaml", super::DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .is("poddisruptionbudget.policy/b created")
            .then("kubectl get pdb b -o jsonpath='{.status.disruptionsAllowed} {.status.expectedPods}'", "1 2"),
        row("create poddisruptionbudget", "kubectl create pdb b --selector=app=d --min-available=1")
            .since(21)
            .given("kubectl create pdb b --selector=app=d --min-available=1")
            .fails(1, "poddisruptionbudgets.policy \"b\" already exists"),
        row("create priorityclass", "kubectl create priorityclass $NS-high --value=1000 --description=soon --preemption-policy=Never")
            .is("priorityclass.scheduling.k8s.io/$NS-high created")
            .then("kubectl get priorityclass $NS-high -o jsonpath='{.value} {.preemptionPolicy}'; kubectl delete priorityclass $NS-high >&2", "1000 Never"),
        row("create priorityclass", "kubectl create priorityclass $NS-high --value=2000000000").fails(1, "is invalid: value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
    ]
}

fn services() -> Vec<Row> {
    const SHOW: &str = "kubectl get svc s -o jsonpath='{.spec.type} {.spec.ports[0].port}:{.spec.ports[0].targetPort}'";
    vec![
        row("create service", "kubectl create service clusterip s --tcp=80:8080").is("service/s created").then(SHOW, "ClusterIP 80:8080"),
        row("create service", "kubectl create service clusterip s --tcp=80 --clusterip=None")
            .is("service/s created")
            .then("kubectl get svc s -o jsonpath='{.spec.clusterIP}'", "None"),
        row("create service", "kubectl create service nodeport s --tcp=80:8080")
            .is("service/s created")
            .then(SHOW, "NodePort 80:8080")
            .then("kubectl get svc s -o jsonpath='{.spec.ports[0].nodePort}' | grep -cE '^3[0-2][0-9]{3}$'", "1"),
        row("create service", "kubectl create service loadbalancer s --tcp=80:8080")
            .is("service/s created")
            .then(SHOW, "LoadBalancer 80:8080")
            .then_holds("kubectl get svc s", "<pending>"),
        row("create service", "kubectl create service externalname s --external-name=example.com")
            .is("service/s created")
            .then("kubectl get svc s -o jsonpath='{.spec.type} {.spec.externalName}'", "ExternalName example.com"),
        row("create service", "kubectl create service nodeport s --tcp=80:8080 --node-port=80")
            .fails(1, "Service \"s\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
        row("create service", "kubectl create service clusterip s --tcp=99999:80").fails(1, "99999"),
        row("create ingress", "kubectl create ingress i --rule='example.com/x*=web:80,tls=pair' --class=none")
            .is("ingress.networking.k8s.io/i created")
            .then("kubectl get ingress i -o jsonpath='{..host} {..path} {..pathType} {..secretName}'", "example.com /x Prefix pair"),
        row("create ingress", "kubectl create ingress i --rule='exa_mple/=web:80'").fails(1, "spec.rules[0].host: Invalid value: \"exa_mple\""),
    ]
}

fn configuration() -> Vec<Row> {
    vec![
        row("create namespace", "kubectl create namespace $NS-new")
            .is("namespace/$NS-new created")
            .then("kubectl get ns $NS-new -o jsonpath='{.status.phase}' && kubectl delete ns $NS-new --wait=false >&2", "Active"),
        row("create namespace", "kubectl create namespace Up").fails(1, "The Namespace \"Up\" is invalid: metadata.name: Invalid value: \"Up\""),
        row("create configmap", "kubectl create configmap c --from-literal=a=b --from-file=f --from-env-file=e.env")
            .file("f", "text of f")
            .file("e.env", "X=y\n")
            .fails(1, "from-env-file cannot be combined with from-file or from-literal"),
        row("create configmap", "kubectl create configmap c --from-literal=a=b --from-file=f --from-file=other=f")
            .file("f", "text of f")
            .is("configmap/c created")
            .then("kubectl get cm c -o jsonpath='{.data}'", r#"{"a":"b","f":"text of f","other":"text of f"}"#),
        row("create secret", "kubectl create secret generic s --from-literal=a=b --type=example.com/own")
            .is("secret/s created")
            .then("kubectl get secret s -o jsonpath='{.type} {.data.a}'", "example.com/own Yg=="),
        row("create secret", "kubectl create secret tls s --cert=c.pem --key=k.pem")
            .given("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -subj /CN=row -days 1 2>/dev/null")
            .is("secret/s created")
            .then("kubectl get secret s -o jsonpath='{.type}'", "kubernetes.io/tls"),
        row("create secret", "kubectl create secret docker-registry s --docker-server=r.example --docker-username=u --docker-password=p")
            .is("secret/s created")
            .then("kubectl get secret s -o jsonpath='{.data.\\.dockerconfigjson}' | base64 -d | grep -c r.example", "1"),
        row("create secret", "kubectl create secret generic s --type=kubernetes.io/tls --from-literal=a=b")
            .fails(1, "Secret \"s\" is invalid: ")
            .warns("data[tls.crt]: Required value")
            .warns("data[tls.key]: Required value"),
        row("create quota", "kubectl create quota q --hard=configmaps=2,pods=3")
            .is("resourcequota/q created")
            .then("kubectl get quota q -o jsonpath='{.status.used.configmaps}'", "1"),
        row("create quota", "try sh -c '! kubectl create cm two --dry-run=server' && kubectl create cm two")
            .given("kubectl create quota q --hard=configmaps=1")
            .fails(1, "configmaps \"two\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1")
            .since(24),
        row("create quota", "kubectl create quota q --hard=pods=lots").fails(1, "quantities must match the regular expression"),
    ]
}

fn run_and_expose() -> Vec<Row> {
    vec![
        row("run", "kubectl run r --image=host --labels=a=b --env=X=y --restart=Never --command -- sh -c 'echo $X'")
            .is("pod/r created")
            .then("kubectl get pod r -o jsonpath='{.status.phase} {.metadata.labels.a}'", "Succeeded b")
            .then("kubectl logs r", "y"),
        row("run", "kubectl run r --image=host --restart=Never --rm -i --command -- sh -c 'read line; echo got $line' <<< words")
            .fits("the program's answer", |said| said.contains("got words"))
            .then("kubectl get pod r --ignore-not-found", ""),
        row("run", "kubectl run r --image=host --port=8080 --expose --command -- sleep 86400")
            .says("service/r created")
            .says("pod/r created")
            .then("kubectl get endpoints r -o jsonpath='{..ports[0].port}'", "8080"),
        row("run", "kubectl run r --image=other")
            .is("pod/r created")
            .then_holds("kubectl get pod r -o jsonpath='{..waiting.message}'", "host"),
        row("run", "kubectl run R --image=host").fails(1, "a lowercase RFC 1123 subdomain must consist of"),
        row("run", "kubectl run r --image=''").fails(1, "error: --image is required"),
        row("expose", "kubectl expose deployment d --port=80 --target-port=8080 --name=front --type=NodePort")
            .file("d.yaml", super::DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .is("service/front exposed")
            .then("kubectl get svc front -o jsonpath='{.spec.type} {.spec.selector} {.spec.ports[0].targetPort}'", r#"NodePort {"app":"d"} 8080"#),
        row("expose", "kubectl expose pod p --port=80")
            .file("p.yaml", super::POD)
            .given("kubectl apply -f p.yaml")
            .is("service/p exposed")
            .then("kubectl get endpoints p -o jsonpath='{..ports[0].port}'", "80"),
        row("expose", "kubectl expose deployment none --port=80").fails(1, "deployments.apps \"none\" not found"),
    ]
}
