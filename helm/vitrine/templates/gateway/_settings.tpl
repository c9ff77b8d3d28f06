{{/* What the ConfigMap of the gateway holds, and its pods are made anew for. */}}
{{- define "vitrine.gatewaySettings" -}}
VITRINE_GATEWAY__HOST: 0.0.0.0
VITRINE_GATEWAY__PORT: "8080"
VITRINE_TELEMETRY__METRICS_HOST: 0.0.0.0
VITRINE_TELEMETRY__METRICS_PORT: "9090"
VITRINE_GATEWAY__DRAIN_S: {{ .Values.gateway.drainSeconds | quote }}
VITRINE_GATEWAY__DEFAULT_COLLECTION: {{ .Values.collection | quote }}
{{- include "vitrine.addresses" . | nindent 0 }}
{{- if .Values.auth.existingSecret }}
VITRINE_AUTH__KEYS_FILE: /etc/vitrine/auth/{{ .Values.auth.fileKey }}
{{- end }}
{{- include "vitrine.settings" (list . (list "gateway" "triton" "milvus" "images" "search" "cache" "auth" "remote_images" "items" "canary" "telemetry")) | nindent 0 }}
{{- end -}}
