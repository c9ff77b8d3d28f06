{{/* Something, unless nothing here has pods of the indexer. */}}
{{- define "vitrine.indexes" -}}
{{- with .Values.indexer -}}
{{- if or .enabled .cron.enabled .toolbox.enabled }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* What the ConfigMap of the indexer holds. */}}
{{- define "vitrine.indexerSettings" -}}
{{- /* Ledgers are kept in ledger/ below it. */}}
VITRINE_LOCAL__STATE_DIR: /state
VITRINE_TELEMETRY__METRICS_HOST: 0.0.0.0
VITRINE_TELEMETRY__METRICS_PORT: "9090"
{{- include "vitrine.addresses" . | nindent 0 }}
{{- include "vitrine.settings" (list . (list "triton" "milvus" "images" "indexer" "telemetry")) | nindent 0 }}
{{- end -}}

{{/* Changes with everything that a Job's pods are made of, as their template cannot be changed, and with nothing else:
another name is another run over the catalogue. */}}
{{- define "vitrine.indexRound" -}}
{{- $pod := include "vitrine.indexPod" (dict "root" . "args" (include "vitrine.indexArgs" . | fromYamlArray) "catalogue" true) -}}
{{- $job := pick .Values.indexer "run" "shards" "backoffLimit" "deadlineSeconds" -}}
{{- $hash := toJson (list $pod $job (include "vitrine.indexFailures" .)) | sha256sum | trunc 8 -}}
{{- printf "%s-%s" (include "vitrine.name" (list . "index")) $hash -}}
{{- end -}}

{{/* A claim's access mode cannot be changed, so shards have one of their own. */}}
{{- define "vitrine.ledgerClaim" -}}
{{- $made := ternary "ledger-shared" "ledger" (gt (int .Values.indexer.shards) 1) -}}
{{- .Values.indexer.ledger.existingClaim | default (include "vitrine.name" (list . $made)) -}}
{{- end -}}

{{/* What to do about exit statuses: 2 is a wrong request, mapping or catalogue, and wrong again next time; 1 is a
dependency that stayed away. A drained node is nobody's failure and costs no retry. */}}
{{- define "vitrine.indexFailures" -}}
rules:
  - action: FailJob
    onExitCodes: {containerName: indexer, operator: In, values: [2]}
  - action: Ignore
    onPodConditions:
      - {type: DisruptionTarget, status: "True"}
{{- end -}}

{{/* The pod template of everything that indexes. Takes (dict "root" $ "args" LIST "catalogue" BOOL), "command" LIST where
the image's own is not meant, and "restart" and "labels" where the pods are no Job's. */}}
{{- define "vitrine.indexPod" -}}
{{- $root := .root -}}
{{- $indexer := $root.Values.indexer -}}
metadata:
  labels: {{- include "vitrine.podLabels" (list $root "indexer" (merge dict (.labels | default dict) $indexer.podLabels)) | nindent 4 }}
  annotations:
    checksum/config: {{ include "vitrine.indexerSettings" $root | sha256sum }}
    {{- with $indexer.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "vitrine.podCommon" $root | nindent 2 }}
  serviceAccountName: {{ include "vitrine.name" (list $root "indexer") }}
  restartPolicy: {{ .restart | default "Never" }}
  {{- /* It ends the batch under way and closes its ledger. */}}
  terminationGracePeriodSeconds: 90
  securityContext: {{- include "vitrine.podSecurity" 65532 | nindent 4 }}
  {{- include "vitrine.scheduling" $indexer | nindent 2 }}
  {{- with include "vitrine.modelsInit" (list $root $root.Values.models.objectStorage.gatewayArgs) }}
  initContainers: {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: indexer
      image: {{ include "vitrine.image" (list $root $indexer.image "indexer") }}
      imagePullPolicy: {{ $indexer.image.pullPolicy }}
      {{- with .command }}
      command: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .args }}
      args: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- /* Listens while something is indexed; what waits for that has nothing to scrape. */}}
      {{- if and .catalogue .args }}
      ports:
        - {name: metrics, containerPort: 9090, protocol: TCP}
      {{- end }}
      envFrom:
        - configMapRef: {name: {{ include "vitrine.name" (list $root "indexer") }}}
      env:
        - {name: HOME, value: /tmp}
        {{- include "vitrine.milvusToken" $root | nindent 8 }}
        {{- include "vitrine.milvusCaEnv" $root | nindent 8 }}
        {{- if and .command .args }}
        - name: ROUND
          valueFrom:
            fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}
        {{- end }}
        {{- with $indexer.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources: {{- toYaml $indexer.resources | nindent 8 }}
      securityContext: {{- include "vitrine.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: state, mountPath: /state}
        {{- include "vitrine.modelsMount" $root | nindent 8 }}
        {{- if .catalogue }}
        - name: catalogue
          mountPath: /catalogue
          readOnly: true
          {{- with $indexer.catalogue.subPath }}
          subPath: {{ . }}
          {{- end }}
        {{- if $indexer.catalogue.mappingConfigMap }}
        - {name: mappings, mountPath: /mappings, readOnly: true}
        {{- end }}
        {{- end }}
        {{- include "vitrine.milvusCaMount" $root | nindent 8 }}
        {{- with $indexer.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: state
      persistentVolumeClaim:
        claimName: {{ include "vitrine.ledgerClaim" $root }}
    {{- include "vitrine.modelsVolume" $root | nindent 4 }}
    {{- if .catalogue }}
    - name: catalogue
      persistentVolumeClaim:
        claimName: {{ required "indexer.catalogue.existingClaim is required by what indexes." $indexer.catalogue.existingClaim }}
        readOnly: true
    {{- with $indexer.catalogue.mappingConfigMap }}
    - name: mappings
      configMap: {name: {{ . }}}
    {{- end }}
    {{- end }}
    {{- include "vitrine.milvusCaVolume" $root | nindent 4 }}
    {{- with $indexer.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "vitrine.indexArgs" -}}
- index
- --catalogue=/catalogue
- --collection={{ .Values.collection }}
- --mapping={{ .Values.indexer.catalogue.mapping }}
{{- with .Values.indexer.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
