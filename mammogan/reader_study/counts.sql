-- Counts for the administrator of a study of :questions questions per session: how many, never how well.

SELECT 'Sessions begun', count(*) FROM sessions
UNION ALL
SELECT 'Sessions finished', count(*)
FROM (SELECT 1 FROM answers GROUP BY session HAVING count(*) = :questions)
UNION ALL
SELECT 'Sessions void', count(*) FROM voids
UNION ALL
SELECT 'Invitations', count(*) FROM invitations
UNION ALL
SELECT 'Readers', count(DISTINCT reader) FROM sessions
UNION ALL
SELECT 'Answers', count(*) FROM answers
UNION ALL
SELECT 'Sessions with radiologist: yes', count(*) FROM sessions WHERE radiologist = 'yes'
UNION ALL
SELECT 'Sessions with board certified: yes', count(*) FROM sessions WHERE board_certified = 'yes'
UNION ALL
SELECT 'Sessions with trainee: yes', count(*) FROM sessions WHERE trainee = 'yes'
UNION ALL
SELECT 'Sessions with breast specialist: yes', count(*) FROM sessions WHERE breast_specialist = 'yes'
UNION ALL
SELECT 'Sessions with screening: yes', count(*) FROM sessions WHERE screening = 'yes';
