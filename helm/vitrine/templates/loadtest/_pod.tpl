{{/* Changes with everything that the pods are made of, as a Job's template cannot be changed: another name is another run. */}}
{{- define "vitrine.loadRound" -}}
{{- $pod := include "vitrine.loadPod" (dict "root" . "role" "" "round" "" "args" (include "vitrine.loadArgs" . | fromYamlArray)) -}}
{{- $hash := toJson (list $pod .Values.loadtest) | sha256sum | trunc 8 -}}
{{- printf "%s-%s" (include "vitrine.name" (list . "load")) $hash -}}
{{- end -}}

{{/* What is sent, and where to. */}}
{{- define "vitrine.loadArgs" -}}
{{- $gateway := printf "http://%s:%d" (include "vitrine.name" (list . "gateway")) (int .Values.gateway.service.port) -}}
{{- with .Values.loadtest -}}
- --host={{ $gateway }}
{{- /* The chart's own gateway, which is no other machine than the one meant. */}}
- --allow-remote
- --collection={{ $.Values.collection }}
- --shape={{ .shape }}
{{- if .rate }}
- --rate={{ .rate }}
{{- end }}
{{- if .duration }}
- --duration={{ .duration }}
{{- end }}
{{- with .writeCollection }}
- --write-collection={{ . }}
{{- end }}
{{- with .extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The pod template of everything that sends load. Takes (dict "root" $ "role" alone|master|worker "round" NAME "args"
LIST), "command" LIST where the image's own is not meant, and "port" NUMBER where it listens. */}}
{{- define "vitrine.loadPod" -}}
{{- $root := .root -}}
{{- $load := $root.Values.loadtest -}}
{{- $own := dict "role" .role "round" .round -}}
metadata:
  labels: {{- include "vitrine.podLabels" (list $root "loadtest" (merge $own $load.podLabels)) | nindent 4 }}
  {{- with $load.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "vitrine.podCommon" $root | nindent 2 }}
  restartPolicy: Never
  {{- /* Told to end, it waits for what is under way and writes its report. */}}
  terminationGracePeriodSeconds: 75
  securityContext: {{- include "vitrine.podSecurity" 65532 | nindent 4 }}
  {{- include "vitrine.scheduling" $load | nindent 2 }}
  containers:
    - name: loadtest
      image: {{ include "vitrine.image" (list $root $load.image "loadtest") }}
      imagePullPolicy: {{ $load.image.pullPolicy }}
      {{- with .command }}
      command: {{- toYaml . | nindent 8 }}
      {{- end }}
      args: {{- toYaml .args | nindent 8 }}
      {{- with .port }}
      ports:
        - {name: master, containerPort: {{ . }}, protocol: TCP}
      {{- end }}
      env:
        - {name: HOME, value: /tmp}
        {{- with $load.existingSecret }}
        - name: VITRINE_API_KEY
          valueFrom:
            secretKeyRef: {name: {{ . }}, key: {{ $load.key }}}
        {{- end }}
      resources: {{- toYaml $load.resources | nindent 8 }}
      securityContext: {{- include "vitrine.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if ne .role "worker" }}
        - {name: report, mountPath: /report}
        {{- end }}
        {{- with $load.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if ne .role "worker" }}
    - name: report
      {{- if $load.report.existingClaim }}
      persistentVolumeClaim:
        claimName: {{ $load.report.existingClaim }}
      {{- else }}
      emptyDir: {sizeLimit: 128Mi}
      {{- end }}
    {{- end }}
    {{- with $load.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
