{{/*
For charts that put the gateway into their own pods: a dependency on this chart with `mode: sidecar`, and in the Deployment

    template:
      metadata:
        annotations:
          {{- include "oauth-gateway.sidecar.annotations" (index .Subcharts "oauth-gateway") | nindent 8 }}
      spec:
        initContainers:
          {{- include "oauth-gateway.sidecar.initContainers" (index .Subcharts "oauth-gateway") | nindent 8 }}
        volumes:
          {{- include "oauth-gateway.sidecar.volumes" (index .Subcharts "oauth-gateway") | nindent 8 }}

`.Subcharts` gives the templates the values below the key `oauth-gateway` of the chart that includes them.
*/}}

{{- define "oauth-gateway.sidecar.initContainers" -}}
{{- include "oauth-gateway.refuse" . -}}
- name: {{ .Values.sidecar.name }}
  # A native sidecar: starts before the pod's containers and ends after them.
  restartPolicy: Always
  {{- include "oauth-gateway.container" . | nindent 2 }}
{{- end }}

{{- define "oauth-gateway.sidecar.volumes" -}}
{{- include "oauth-gateway.volumes" . }}
{{- end }}

{{- define "oauth-gateway.sidecar.annotations" -}}
checksum/oauth-gateway: {{ include "oauth-gateway.restartChecksum" . }}
{{- end }}
