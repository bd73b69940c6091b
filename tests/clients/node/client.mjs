// Uses a cluster as programs in JavaScript do: with the official client, in a namespace of its own that it deletes.
//
// Prints a line for each thing that works; the first that does not ends the script with its reason.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import * as k8s from '@kubernetes/client-node';

const namespace = 'client-node';
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const leases = config.makeApiClient(k8s.CoordinationV1Api);

const configMap = (name, data, labels) => ({ metadata: { name, labels }, data });

/// The message with which a call is refused.
async function refused(code, call) {
  const error = await call.then(() => assert.fail(`not refused with ${code}`), (error) => error);
  assert.equal(error.code, code, String(error));
  return typeof error.body === 'string' ? JSON.parse(error.body).message : error.body.message;
}

async function objectsComeAndGo() {
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap('a', { k: '1' }) });
  const replaced = { ...made, data: { k: '2' } };
  await core.replaceNamespacedConfigMap({ namespace, name: 'a', body: replaced });
  assert.deepEqual((await core.readNamespacedConfigMap({ namespace, name: 'a' })).data, { k: '2' });
  const stale = await refused(409, core.replaceNamespacedConfigMap({ namespace, name: 'a', body: replaced }));
  assert.match(stale, /the object has been modified/);
  const bad = await refused(422, core.createNamespacedConfigMap({ namespace, body: configMap('A_', {}) }));
  assert.match(bad, /RFC 1123/);
  const deleted = await core.deleteNamespacedConfigMap({ namespace, name: 'a' });
  assert.equal(deleted.status, 'Success');
  await refused(404, core.readNamespacedConfigMap({ namespace, name: 'a' }));
}

async function listsComeInPages() {
  const names = [...Array(7).keys()].map((number) => `page-${number}`);
  for (const name of names) {
    await core.createNamespacedConfigMap({ namespace, body: configMap(name, {}, { of: 'pages' }) });
  }
  const found = [];
  let _continue;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'of=pages', limit: 3, _continue });
    found.push(...page.items.map((item) => item.metadata.name));
    ({ _continue } = page.metadata);
  } while (_continue);
  assert.deepEqual(found, names);
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'of=pages' });
}

async function changesAreWatched() {
  const list = () => core.listNamespacedConfigMap({ namespace });
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const { resourceVersion } = (await list()).metadata;
  const seen = [];
  await new Promise((done, failed) => {
    const watched = new k8s.Watch(config).watch(
      path,
      { resourceVersion, allowWatchBookmarks: true },
      (type, object) => {
        seen.push([type, object.data?.k]);
        if (type === 'DELETED') watched.then((watch) => watch.abort()).then(done);
      },
      (error) => error && error !== k8s.Watch.SERVER_SIDE_CLOSE && error.name !== 'AbortError' && failed(error),
    );
    watched
      .then(() => core.createNamespacedConfigMap({ namespace, body: configMap('w', { k: '1' }) }))
      .then(() => patch(k8s.PatchStrategy.MergePatch, 'w', { data: { k: '2' } }))
      .then(() => core.deleteNamespacedConfigMap({ namespace, name: 'w' }))
      .catch(failed);
  });
  assert.deepEqual(seen, [['ADDED', '1'], ['MODIFIED', '2'], ['DELETED', '2']]);
  const informer = k8s.makeInformer(config, path, list);
  const added = new Promise((told) => informer.on('add', (map) => map.metadata.name === 'later' && told()));
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: configMap('later', {}) });
  await added;
  await informer.stop();
}

const patch = (strategy, name, body, more) =>
  core.patchNamespacedConfigMap({ namespace, name, body, ...more }, k8s.setHeaderOptions('Content-Type', strategy));

async function everyKindOfPatchWorks() {
  await core.createNamespacedConfigMap({ namespace, body: configMap('patched', { a: '1', b: '2' }) });
  await patch(k8s.PatchStrategy.MergePatch, 'patched', { data: { a: null } });
  await patch(k8s.PatchStrategy.StrategicMergePatch, 'patched', { data: { c: '3' } });
  const found = await patch(k8s.PatchStrategy.JsonPatch, 'patched', [
    { op: 'test', path: '/data/b', value: '2' },
    { op: 'replace', path: '/data/b', value: '4' },
  ]);
  assert.deepEqual(found.data, { b: '4', c: '3' });
  const stale = patch(k8s.PatchStrategy.JsonPatch, 'patched', [{ op: 'test', path: '/data/b', value: 'x' }]);
  await refused(422, stale);
}

async function objectsAreApplied() {
  const apply = (value, fieldManager, force) => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { k: value } };
    return patch(k8s.PatchStrategy.ServerSideApply, 'applied', body, { fieldManager, force });
  };
  await apply('1', 'one');
  assert.match(await refused(409, apply('2', 'two')), /conflict with "one": .data.k/);
  assert.equal((await apply('2', 'two', true)).data.k, '2');
}

async function podsRun() {
  const serve = 'mkdir /www; echo served > /www/page; echo started; exec httpd -f -p 8080 -h /www';
  const container = { name: 'c', image: 'busybox:latest', imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', serve] };
  const body = { metadata: { name: 'p' }, spec: { containers: [container], terminationGracePeriodSeconds: 0 } };
  await core.createNamespacedPod({ namespace, body });
  const watch = new k8s.Watch(config);
  await new Promise((running, failed) => {
    const watched = watch.watch(
      `/api/v1/namespaces/${namespace}/pods`,
      { fieldSelector: 'metadata.name=p', timeoutSeconds: 60 },
      (_, pod) => pod.status.phase === 'Running' && watched.then((watch) => watch.abort()).then(running),
      (error) => error?.name !== 'AbortError' && failed(error ?? new Error('the pod does not run')),
    );
  });
}

async function exec(command, stdin) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const status = await new Promise((ended, failed) => {
    const exec = new k8s.Exec(config).exec(namespace, 'p', 'c', command, stdout, stderr, stdin, false, ended);
    exec.catch(failed);
  });
  stdout.end();
  stderr.end();
  return { out: await text(stdout), err: await text(stderr), status };
}

async function commandsRunInAPod() {
  const stdin = new PassThrough();
  stdin.write('in\n');
  const { out, err, status } = await exec(['sh', '-c', 'read l; echo "out $l"; echo err >&2; exit 3'], stdin);
  assert.deepEqual([out, err, status.reason], ['out in\n', 'err\n', 'NonZeroExitCode']);
  assert.deepEqual(status.details.causes, [{ reason: 'ExitCode', message: '3' }]);
  assert.equal((await exec(['true'], null)).status.status, 'Success');
}

async function logsAreRead() {
  assert.equal(await core.readNamespacedPodLog({ namespace, name: 'p' }), 'started\n');
  const lines = new PassThrough();
  const following = await new k8s.Log(config).log(namespace, 'p', 'c', lines, { follow: true, tailLines: 1 });
  const [line] = await once(lines, 'data');
  assert.equal(String(line), 'started\n');
  lines.on('error', () => {}); // The end of following is told as an error.
  following.abort();
}

async function portsAreForwarded() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  let answer = '';
  const answered = new Promise((done) => {
    output.on('data', (part) => (answer += part).endsWith('served\n') && done());
  });
  const socket = await new k8s.PortForward(config).portForward(namespace, 'p', [8080], output, null, input);
  const closed = once(socket, 'close');
  input.write('GET /page HTTP/1.0\r\n\r\n');
  await answered;
  // A port that has said everything ends the connection.
  assert.equal((await closed)[0], 1000);
}

/// The client has no election of its own: this is the one of every client, a Lease that is written only as it was read.
async function oneLeadsAtATime() {
  const lead = async (holderIdentity) => {
    const lease = await leases.readNamespacedLease({ namespace, name: 'leader' });
    if (lease.spec.holderIdentity) return false;
    lease.spec = { holderIdentity, leaseDurationSeconds: 15, renewTime: new k8s.V1MicroTime() };
    return leases.replaceNamespacedLease({ namespace, name: 'leader', body: lease }).then(
      () => true,
      (error) => (error.code === 409 ? false : Promise.reject(error)),
    );
  };
  await leases.createNamespacedLease({ namespace, body: { metadata: { name: 'leader' }, spec: {} } });
  const led = await Promise.all(['one', 'two', 'three', 'four'].map(lead));
  assert.equal(led.filter(Boolean).length, 1);
}

async function anyKindIsReached() {
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const deployment = k8s.loadYaml(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ${namespace}}
spec:
  replicas: 0
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: busybox}]}
`);
  const made = await objects.create(deployment);
  assert.equal(made.spec.strategy.type, 'RollingUpdate');
  await apps.replaceNamespacedDeploymentScale({
    namespace, name: 'd', body: { metadata: { name: 'd', namespace }, spec: { replicas: 1 } },
  });
  assert.equal((await objects.read(deployment)).spec.replicas, 1);
  await objects.delete(deployment);
}

const steps = [
  objectsComeAndGo, listsComeInPages, changesAreWatched, everyKindOfPatchWorks, objectsAreApplied, podsRun,
  commandsRunInAPod, logsAreRead, portsAreForwarded, oneLeadsAtATime, anyKindIsReached,
];

/// A namespace takes pods once its default service account is there.
async function accountIsThere() {
  for (let tries = 0; tries < 100; tries += 1) {
    const found = await core.listNamespacedServiceAccount({ namespace });
    if (found.items.length > 0) return;
    await new Promise((later) => setTimeout(later, 100));
  }
  assert.fail('the namespace has no service account');
}

await core.createNamespace({ body: { metadata: { name: namespace } } });
try {
  await accountIsThere();
  for (const step of steps) {
    await step();
    console.log('ok', step.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
  }
} finally {
  await core.deleteNamespace({ name: namespace });
}
process.exit(process.exitCode ?? 0); // Some of the client's sockets stay open.
