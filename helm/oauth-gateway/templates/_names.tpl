{{/* Names and labels, as `helm create` makes them. */}}

{{- define "oauth-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Room for `-admin`, `-board` and `-test` within the 63 that a name may have. */}}
{{- define "oauth-gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 56 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 56 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "oauth-gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oauth-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "oauth-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "oauth-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the pods that the gateway runs in: ours, or those of the chart that took it in. */}}
{{- define "oauth-gateway.podSelector" -}}
{{- if eq .Values.mode "proxy" -}}
{{ include "oauth-gateway.selectorLabels" . }}
{{- else if .Values.sidecar.selectorLabels -}}
{{ toYaml .Values.sidecar.selectorLabels }}
{{- else -}}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end }}

{{- define "oauth-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "oauth-gateway.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "oauth-gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Port names: a sidecar's must differ from those of the container beside it. */}}
{{- define "oauth-gateway.portName" -}}
{{- if eq .Values.mode "sidecar" -}}
{{ .Values.sidecar.name }}
{{- else if (fromYaml (include "oauth-gateway.config" .)).tls -}}
https
{{- else -}}
http
{{- end -}}
{{- end }}

{{- define "oauth-gateway.adminPortName" -}}
{{- if eq .Values.mode "sidecar" -}}
{{ printf "%s-admin" .Values.sidecar.name }}
{{- else -}}
admin
{{- end -}}
{{- end }}
