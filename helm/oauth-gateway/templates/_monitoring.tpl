{{/* What both monitors say of a target. */}}

{{- define "oauth-gateway.scrape" -}}
path: /metrics
# The operator names its port `endpoint` too; ours is the endpoint of an upstream.
honorLabels: true
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Which series are this release's: `jobLabel` of the monitors makes the release the job. */}}
{{- define "oauth-gateway.series" -}}
{{- .Values.prometheusRule.selector | default (printf "namespace=%q,job=%q" .Release.Namespace .Release.Name) -}}
{{- end }}
