-- Progress of the newest sessions for the administrator: how far, never how well.

SELECT
    sessions.number,
    coalesce(json_extract(details.content, '$.tablet'), ''),
    coalesce(json_extract(details.content, '$.screen'), ''),
    sessions.started_at,
    count(answers.question),
    coalesce(max(answers.received_at), ''),
    coalesce(voids.reason, '')
FROM sessions
LEFT JOIN answers ON answers.session = sessions.number
LEFT JOIN details ON details.session = sessions.number AND details.question = 0
LEFT JOIN voids ON voids.session = sessions.number
GROUP BY sessions.number
ORDER BY sessions.started_at DESC, sessions.number DESC
LIMIT 200;
