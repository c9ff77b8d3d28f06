{{- define "vitrine.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes (list $ COMPONENT). */}}
{{- define "vitrine.name" -}}
{{- printf "%s-%s" (include "vitrine.fullname" (first .)) (last .) -}}
{{- end -}}

{{- define "vitrine.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: vitrine
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "vitrine.labels" -}}
{{- $root := first . -}}
{{ include "vitrine.selector" . }}
app.kubernetes.io/version: {{ include "vitrine.labelValue" $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ include "vitrine.labelValue" (printf "%s-%s" $root.Chart.Name $root.Chart.Version) | quote }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A version such as 1.2.0+build.7 as a label may be. */}}
{{- define "vitrine.labelValue" -}}
{{- . | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{/* Takes (list $ COMPONENT LABELS-OF-ITS-PODS). No version: a new version of the chart must not restart what it does
not change, such as a Triton that is alone with its GPU. */}}
{{- define "vitrine.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "vitrine.selector" (list $root (index . 1)) }}
{{- with merge dict (index . 2) $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes (list $ COMPONENT TOPOLOGY-KEYS WHEN-UNSATISFIABLE), makes the items of topologySpreadConstraints. */}}
{{- define "vitrine.spread" -}}
{{- $all := . -}}
{{- range index . 2 }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ index $all 3 }}
  {{- /* Of one revision: the pods of the old one are about to leave and must not push the new ones aside. */}}
  matchLabelKeys: [pod-template-hash]
  {{- /* Else a tainted node (of the GPU pool, say) counts as one with no pod, and the others may have one each at most. */}}
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels: {{- include "vitrine.selector" (list (index $all 0) (index $all 1)) | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Takes (list $ IMAGE NAME-OF-THE-VALUE). */}}
{{- define "vitrine.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $repository := required (printf "%s.image.repository is required." (index . 2)) $image.repository -}}
{{- $tag := $image.tag | default $root.Chart.AppVersion -}}
{{- if eq $tag "latest" -}}{{- fail (printf "%s.image.tag: latest is another image tomorrow; name a version." (index . 2)) -}}{{- end -}}
{{- if $image.digest -}}{{ $repository }}@{{ $image.digest }}{{- else -}}{{ $repository }}:{{ $tag }}{{- end -}}
{{- end -}}

{{/* One VITRINE_ variable per setting given, as ConfigMap data. Takes (list $ SECTIONS). */}}
{{- define "vitrine.settings" -}}
{{- $root := first . -}}
{{- range $section := last . -}}
{{- range $name, $value := (index $root.Values.settings $section | default dict) }}
{{/* toJson, because toString writes large numbers as 6.7e+07, and lists are read as JSON. */ -}}
VITRINE_{{ upper $section }}__{{ upper $name }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What gateway and indexer both need to reach their engines. */}}
{{- define "vitrine.addresses" -}}
VITRINE_MODEL__REPOSITORY: /models
{{/* Headless, so that the client sees every pod and each call goes to another; a ClusterIP spreads connections. */ -}}
VITRINE_TRITON__URL: http://{{ include "vitrine.name" (list . "triton") }}.{{ .Release.Namespace }}:8000
VITRINE_MILVUS__URI: {{ required "milvus.uri is required, such as http://milvus:19530." .Values.milvus.uri | quote }}
{{- end -}}

{{- define "vitrine.milvusToken" -}}
{{- with .Values.milvus.existingSecret }}
- name: VITRINE_MILVUS__TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.Values.milvus.tokenKey }}}
{{- end }}
{{- end -}}

{{- define "vitrine.milvusCaEnv" -}}
{{- if .Values.milvus.caSecret }}
{{- if not (hasPrefix "https://" .Values.milvus.uri) }}
{{- fail "milvus.caSecret wants a milvus.uri that begins with https://: without TLS there is no certificate to check." }}
{{- end }}
- name: VITRINE_MILVUS__CA_FILE
  value: /etc/vitrine/milvus-ca/{{ .Values.milvus.caKey }}
{{- end }}
{{- end -}}

{{- define "vitrine.milvusCaMount" -}}
{{- if .Values.milvus.caSecret }}
- {name: milvus-ca, mountPath: /etc/vitrine/milvus-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "vitrine.milvusCaVolume" -}}
{{- with .Values.milvus.caSecret }}
- name: milvus-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    {{- /* That key alone: a certificate's Secret has the server's private key beside it. */}}
    items:
      - {key: {{ $.Values.milvus.caKey }}, path: {{ $.Values.milvus.caKey }}}
{{- end }}
{{- end -}}

{{/* Takes (list SETTING PATH VOLUME-MOUNTS): nothing of the operator's is in an image, so something must be mounted there. */}}
{{- define "vitrine.mounted" -}}
{{- $path := printf "%s/" (index . 1 | trimSuffix "/") -}}
{{- $found := false -}}
{{- range index . 2 -}}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "settings.%s is %s, where nothing is mounted: name it in gateway.extraVolumeMounts." (index . 0) (index . 1)) -}}
{{- end -}}
{{- end -}}

{{- define "vitrine.milvusPort" -}}
{{- $uri := required "milvus.uri is required, such as http://milvus:19530." .Values.milvus.uri -}}
{{- $port := regexFind ":[0-9]+$" (urlParse $uri).host | trimPrefix ":" -}}
{{- required "milvus.uri needs its port, such as http://milvus:19530." $port -}}
{{- end -}}

{{/* Nobody of the product is in /etc/passwd: 65532 is the images' user. fsGroup lets it read mounted Secrets. */}}
{{- define "vitrine.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
{{/* Without OnRootMismatch a claim with 100,000 pictures is chowned at every start. */ -}}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "vitrine.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Lines common to all pods. enableServiceLinks: for a Service called vitrine-gateway the kubelet would set
VITRINE_GATEWAY_PORT and its like, and the program refuses to start over a VITRINE_ variable it does not know. */}}
{{- define "vitrine.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "vitrine.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vitrine.modelsVolume" -}}
{{- $models := .Values.models -}}
- name: models
{{- if eq $models.source "pvc" }}
  persistentVolumeClaim:
    claimName: {{ required "models.pvc.existingClaim is required with models.source=pvc." $models.pvc.existingClaim }}
    readOnly: true
{{- else if eq $models.source "image" }}
{{- if semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version }}
{{- fail (printf "models.source=image needs Kubernetes 1.33, this is %s: use pvc or objectStorage." .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- $reference := required "models.image.reference is required with models.source=image." $models.image.reference }}
{{- if not (regexMatch "@sha256:[0-9a-f]{64}$" $reference) }}
{{- fail "models.image.reference must end in a digest (@sha256:...): all pods have to serve one model." }}
{{- end }}
  image:
    reference: {{ $reference }}
    pullPolicy: {{ $models.image.pullPolicy }}
{{- else }}
  emptyDir: {sizeLimit: {{ $models.objectStorage.sizeLimit }}}
{{- end }}
{{- end -}}

{{- define "vitrine.modelsMount" -}}
- name: models
  mountPath: /models
  readOnly: true
  {{- if eq .Values.models.source "pvc" }}
  {{- with .Values.models.pvc.subPath }}
  subPath: {{ . }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* Takes (list $ MORE-ARGUMENTS). Nothing unless models come from object storage. */}}
{{- define "vitrine.modelsInit" -}}
{{- $root := first . -}}
{{- with $root.Values.models.objectStorage }}
{{- if eq $root.Values.models.source "objectStorage" }}
- name: models
  image: {{ required "models.objectStorage.image is required with models.source=objectStorage." .image }}
  {{- if or (hasSuffix ":latest" .image) (not (regexMatch "[:@][^/]+$" .image)) }}
  {{- fail "models.objectStorage.image needs a version or a digest." }}
  {{- end }}
  command: {{- concat .command (last $) | toYaml | nindent 4 }}
  env:
    - name: MODELS_URI
      value: {{ required "models.objectStorage.uri is required with models.source=objectStorage." .uri | quote }}
    - {name: HOME, value: /tmp}
  {{- with .existingSecret }}
  envFrom:
    - secretRef: {name: {{ . }}}
  {{- end }}
  resources: {{- toYaml .resources | nindent 4 }}
  securityContext: {{- include "vitrine.containerSecurity" $root | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
{{- end -}}

{{/* The paths that outsiders may reach: (path, type) without probes. */}}
{{- define "vitrine.publicPaths" -}}
- {path: /v1, type: Prefix}
- {path: /docs, type: Prefix}
- {path: /openapi.json, type: Exact}
- {path: /media, type: Prefix}
{{/* The page's own files, by name: a prefix of / would open the probes to everybody. */ -}}
{{- range list "" "api.js" "app.js" "dom.js" "icon.svg" "pictures.js" "refine.js" "state.js" "style.css" "view.js" }}
- {path: /{{ . }}, type: Exact}
{{- end }}
{{- end -}}

{{/* ---- NetworkPolicy peers ---- */}}
{{/* In a rule no peers are all peers: a list that is empty makes no rule. */}}
{{- define "vitrine.dnsEgress" -}}
{{- with .Values.networkPolicy.dns -}}
- to: {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
{{- end -}}

{{- define "vitrine.enginesEgress" -}}
- to:
    - podSelector:
        matchLabels: {{- include "vitrine.selector" (list . "triton") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 8000}
- to:
    {{- if .Values.milvus.cidrs }}
    {{- range .Values.milvus.cidrs }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
    {{- else }}
    - podSelector:
        matchLabels: {{- toYaml .Values.milvus.podLabels | nindent 10 }}
      {{- with .Values.milvus.namespace }}
      namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ . }}}
      {{- end }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ include "vitrine.milvusPort" . }}}
{{- end -}}

{{- define "vitrine.storageEgress" -}}
{{- if eq .Values.models.source "objectStorage" }}
{{- with .Values.networkPolicy.storageEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}
