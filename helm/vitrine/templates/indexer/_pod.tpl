{{/* Changes with everything that a Job's pods are made of: their template cannot be changed, so the name is. */}}
{{- define "vitrine.indexRound" -}}
{{- $all := list (omit .Values.indexer "cron") .Values.models .Values.milvus .Values.settings .Values.collection .Values.imagePullSecrets .Chart.Version .Chart.AppVersion -}}
{{- printf "%s-%s" (include "vitrine.name" (list . "index")) (toJson $all | sha256sum | trunc 8) -}}
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

{{/* The pod template of everything that indexes. Takes (dict "root" $ "args" LIST "catalogue" BOOL). */}}
{{- define "vitrine.indexPod" -}}
{{- $root := .root -}}
{{- $indexer := $root.Values.indexer -}}
metadata:
  labels: {{- include "vitrine.labels" (list $root "indexer") | nindent 4 }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/indexer/configmap.yaml") $root | sha256sum }}
spec:
  {{- include "vitrine.podCommon" $root | nindent 2 }}
  serviceAccountName: {{ include "vitrine.name" (list $root "indexer") }}
  restartPolicy: Never
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
      args: {{- toYaml .args | nindent 8 }}
      envFrom:
        - configMapRef: {name: {{ include "vitrine.name" (list $root "indexer") }}}
      env:
        - {name: HOME, value: /tmp}
        {{- include "vitrine.milvusToken" $root | nindent 8 }}
        {{- include "vitrine.milvusCaEnv" $root | nindent 8 }}
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
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: state
      persistentVolumeClaim:
        claimName: {{ $indexer.ledger.existingClaim | default (include "vitrine.name" (list $root "ledger")) }}
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
